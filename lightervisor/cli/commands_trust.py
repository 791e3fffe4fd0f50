"""Declares the commands of `lxc config trust`."""

from lightervisor.cli.table import Command, Flag

_ADD = """Add new trusted client

The certificate is a file, or - for standard input. Its type is "client", or
"metrics" for one that may read the metrics and nothing else.

Without a certificate a token is issued and printed. A client that brings it
is trusted as the flags say; it works once."""

COMMANDS = (
    Command("config trust", summary="Manage trusted clients"),
    Command(
        "config trust add",
        "[<remote>:] [<cert>]",
        "config_trust:add",
        "Add new trusted client",
        long=_ADD,
        most=2,
        flags=(
            Flag("name", "", "text", help="Alternative certificate name"),
            Flag("projects", "", "text", help="List of projects to restrict the certificate to"),
            Flag("restricted", help="Restrict the certificate to one or more projects"),
            Flag("type", "", "text", default="client", help="Type of certificate"),
        ),
    ),
    Command(
        "config trust edit",
        "[<remote>:]<fingerprint>",
        "config_trust:edit",
        "Edit trust configurations as YAML",
        least=1,
        most=1,
    ),
    Command(
        "config trust list",
        "[<remote>:]",
        "config_trust:listing",
        "List trusted clients",
        most=1,
        aliases=("ls",),
        flags=(Flag("format", "f", "text", default="table", help="Format (csv|json|table|yaml|compact)"),),
    ),
    Command(
        "config trust list-tokens",
        "[<remote>:]",
        "config_trust:list_tokens",
        "List all active certificate add tokens",
        most=1,
        flags=(Flag("format", "f", "text", default="table", help="Format (csv|json|table|yaml|compact)"),),
    ),
    Command(
        "config trust remove",
        "[<remote>:]<fingerprint>",
        "config_trust:remove",
        "Remove trusted client",
        least=1,
        most=1,
        aliases=("rm",),
    ),
    Command(
        "config trust revoke-token",
        "[<remote>:] <name>",
        "config_trust:revoke_token",
        "Revoke certificate add token",
        least=1,
        most=2,
    ),
    Command(
        "config trust show",
        "[<remote>:]<fingerprint>",
        "config_trust:show",
        "Show trust configurations",
        least=1,
        most=1,
    ),
)
