"""Declares the commands of `remote`."""

from lightervisor.cli.table import Command, Flag

_ADD = """Add new remote servers

A server is a path of its socket, a host with or without a port, or a URL,
which must be https. A token of "lxc config trust add" is enough alone. With
--protocol simplestreams it is a server of images; a login for it goes into
the URL: https://LOGIN:PASSWORD@host/path"""

_SHOW_CERTIFICATE = """Print the certificate by which servers know this client

It is made when there is none yet. A server trusts it after
"lxc config trust add <file>" there."""

COMMANDS = (
    Command("remote", summary="Manage the list of remote servers"),
    Command(
        "remote add",
        "[<remote>] <IP|FQDN|URL|token>",
        "remote_add:add",
        "Add new remote servers",
        long=_ADD,
        least=1,
        most=2,
        flags=(
            Flag("accept-certificate", help="Accept certificate"),
            Flag("auth-type", "", "text", help="Server authentication type (tls or candid)"),
            Flag("domain", "", "text", help="Candid domain to use"),
            Flag("password", "", "text", help="Remote admin password"),
            Flag("project", "", "text", help="Project to use for the remote"),
            Flag("protocol", "", "text", help="Server protocol (lxd or simplestreams)"),
            Flag("public", help="Public image server"),
        ),
    ),
    Command(
        "remote generate-certificate",
        "",
        "client_identity:generate",
        "Make the certificate by which servers know this client",
    ),
    Command(
        "remote get-client-certificate",
        "",
        "client_identity:show",
        "Print the certificate by which servers know this client",
        long=_SHOW_CERTIFICATE,
    ),
    Command("remote get-default", "", "remote:get_default", "Show the default remote"),
    Command(
        "remote list",
        "",
        "remote:listing",
        "List the available remotes",
        aliases=("ls",),
        flags=(Flag("format", "f", "text", default="table", help="Format (csv|json|table|yaml|compact)"),),
    ),
    Command("remote remove", "<remote>", "remote:remove", "Remove remotes", least=1, most=1, aliases=("rm",)),
    Command(
        "remote rename", "<remote> <new-name>", "remote:rename", "Rename remotes", least=2, most=2, aliases=("mv",)
    ),
    Command("remote set-url", "<remote> <URL>", "remote:set_url", "Set the URL for the remote", least=2, most=2),
    Command(
        "remote switch",
        "<remote>",
        "remote:switch",
        "Switch the default remote",
        least=1,
        most=1,
        aliases=("set-default",),
    ),
)
