"""Messages and topics that Feedgate's services share."""
