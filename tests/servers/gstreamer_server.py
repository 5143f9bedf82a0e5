"""An RTSP camera made of GStreamer, run by Debian's own python3; prints JSON lines, the port first.

It stands for the cameras of other makers: no line of it is shared with Feedgate.
"""

import argparse
import json
import os
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

VIDEO = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} bitrate=1000"
    " ! video/x-h264,profile=baseline ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max={gop}"
    " ! rtph265pay name=pay0 pt=96 config-interval=-1",
    "mjpeg": "jpegenc ! rtpjpegpay name=pay0 pt=26",
}
AUDIO = "audiotestsrc is-live=true ! audioconvert ! avenc_aac ! rtpmp4gpay name=pay1 pt=97"
ROLE = "viewer"


def main() -> None:
    arguments = parse()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(True)
    factory.set_launch(pipeline(arguments))
    if arguments.auth != "none":
        protect(server, factory, arguments)
    server.get_mount_points().add_factory(arguments.path, factory)
    server.connect("client-connected", watch)
    if not server.attach(None):
        sys.exit("the server could not listen")
    say("listening", port=server.get_bound_port())
    GLib.MainLoop().run()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codec", choices=VIDEO, default="h264")
    parser.add_argument("--audio", action="store_true")
    parser.add_argument("--auth", choices=("none", "basic", "digest"), default="none")
    parser.add_argument("--username", default="camera")
    parser.add_argument("--path", default="/live")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--rate", type=int, default=25)
    parser.add_argument("--gop", type=int, default=25)
    return parser.parse_args()


def pipeline(arguments: argparse.Namespace) -> str:
    scene = (
        "videotestsrc is-live=true pattern=ball"
        f" ! video/x-raw,format=I420,width={arguments.width},height={arguments.height}"
        f",framerate={arguments.rate}/1"
    )
    video = f"{scene} ! {VIDEO[arguments.codec].format(gop=arguments.gop)}"
    return f"( {video} {AUDIO if arguments.audio else ''} )"


def protect(
    server: GstRtspServer.RTSPServer,
    factory: GstRtspServer.RTSPMediaFactory,
    arguments: argparse.Namespace,
) -> None:
    password = os.environ["FEEDGATE_TEST_CAMERA_PASSWORD"]
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, ROLE)
    auth = GstRtspServer.RTSPAuth()
    if arguments.auth == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(arguments.username, password, token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(arguments.username, password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    for permission in ("media.factory.access", "media.factory.construct"):
        permissions.add_permission_for_role(ROLE, permission, True)
    factory.set_permissions(permissions)


def watch(_server: GstRtspServer.RTSPServer, client: GstRtspServer.RTSPClient) -> None:
    """Tell which tracks a client sets up, and when it comes and goes."""
    say("connected")
    client.connect("closed", lambda _client: say("closed"))
    for method in ("describe", "setup", "play", "teardown"):
        client.connect(f"{method}-request", report, method)


def report(_client: GstRtspServer.RTSPClient, context: GstRtspServer.RTSPContext, method: str) -> None:
    say(method, path=context.uri.abspath)


def say(event: str, **facts: str | int) -> None:
    print(json.dumps({"event": event, **facts}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
