"""Who calls: the user whose socket it is, and the client that says its name in the metadata `milepost-client`."""

import os
import pwd
from dataclasses import dataclass
from functools import cache

from milepost.daemon.rpc.interceptor import Context

CLIENT_METADATA = "milepost-client"
_UNNAMED_CLIENT = "grpc"
_MAX_CLIENT = 64


@dataclass(frozen=True)
class Caller:
    by: str
    client: str


def caller_of(context: Context) -> Caller:
    """Only the owner can open the socket, so the caller is this process's own user."""
    metadata = dict(context.invocation_metadata() or ())
    client = metadata.get(CLIENT_METADATA, "")
    if not isinstance(client, str) or not client.isprintable() or not 1 <= len(client) <= _MAX_CLIENT:
        client = _UNNAMED_CLIENT
    return Caller(_own_user(), client)


@cache
def _own_user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
