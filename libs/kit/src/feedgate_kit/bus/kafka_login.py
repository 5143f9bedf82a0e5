"""Whether Kafka lets somebody in. aiokafka's clients try for ever and say only that they reached nobody."""

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError, SaslAuthenticationFailed

from feedgate_kit.bus.kafka_settings import KafkaSecurity, broker_addresses
from feedgate_kit.errors import BusError, FeedgateError

LOGIN_TIMEOUT_S = 10.0


class KafkaLoginError(FeedgateError):
    """Kafka does not take this user with this password."""


async def log_in(bootstrap: str, security: KafkaSecurity) -> None:
    """Return once one broker has let the user in.

    Raises:
        KafkaLoginError: a broker refused the user.
        BusError: none could be reached.
    """
    seen = ""
    for host, port in broker_addresses(bootstrap):
        try:
            connection = await create_conn(
                host, port, request_timeout_ms=round(LOGIN_TIMEOUT_S * 1_000), **security.client_options()
            )
        except SaslAuthenticationFailed as error:
            raise KafkaLoginError(
                f"Kafka at {host}:{port} does not let the user `{security.username}` in with this password"
            ) from error
        except (KafkaError, OSError, TimeoutError) as error:
            seen = f"{host}:{port}: {type(error).__name__} {error}".rstrip()
        else:
            connection.close()
            return
    raise BusError(f"Kafka cannot be reached: {seen}")
