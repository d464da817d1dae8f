"""A mail server's side of the milter protocol, as little as a recipient needs.

Packets are a length (4 bytes), a command (1 byte) and its data.
"""

import socket
import struct

VERSION = 6
ALL_ACTIONS, ALL_STEPS = 0x1FF, 0x1FFFFF


def send(connection, command, data=b""):
    connection.sendall(struct.pack("!I", len(data) + 1) + command + data)


def receive(connection):
    """The next packet's command and data."""
    def exactly(count):
        data = b""
        while len(data) < count:
            part = connection.recv(count - len(data))
            if not part:
                raise ConnectionError("the milter has hung up")
            data += part
        return data

    packet = exactly(struct.unpack("!I", exactly(4))[0])
    return packet[:1], packet[1:]


def offer(path, domains):
    """A session with a recipient in each of `domains`."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        send(connection, b"O", struct.pack("!III", VERSION, ALL_ACTIONS,
                                           ALL_STEPS))
        command, _ = receive(connection)
        if command != b"O":
            raise ConnectionError(f"the milter answers {command!r}")
        for domain in domains:
            name = domain.encode()
            send(connection, b"D", b"R{rcpt_host}\0" + name
                 + b"\0{rcpt_mailer}\0smtp\0")
            # No reply to it was agreed upon.
            send(connection, b"R", b"<user@" + name + b">\0")
        send(connection, b"Q")
