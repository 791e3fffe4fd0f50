"""Declares the commands of `profile`."""

from lightervisor.cli.table import Command, Flag, also_one_key

_ASSIGN_EXAMPLES = """\
lxc profile assign foo default,bar
    "foo" uses the profiles "default" and "bar"; where both say something, "bar" counts.

lxc profile assign foo ''
    "foo" uses no profile."""
_DEVICE_EXAMPLES = """\
lxc profile device add profile1 share disk source=/share/c1 path=/opt
    Instances with this profile see the host's /share/c1 as /opt.

lxc profile device add default eth0 nic network=lxdbr0 name=eth0
    They get a network interface eth0 on lxdbr0."""

COMMANDS = (
    Command("profile", summary="Manage profiles"),
    Command(
        "profile add", "[<remote>:]<instance> <profile>", "profile:add", "Add profiles to instances", least=2, most=2
    ),
    Command(
        "profile assign",
        "[<remote>:]<instance> <profiles>",
        "profile:assign",
        "Assign sets of profiles to instances",
        least=2,
        most=2,
        aliases=("apply",),
        examples=_ASSIGN_EXAMPLES,
    ),
    Command(
        "profile copy",
        "[<remote>:]<profile> [<remote>:]<profile>",
        "profile:copy",
        "Copy profiles",
        least=2,
        most=2,
        aliases=("cp",),
        flags=(Flag("target-project", "", "text", help="Copy to a project different from the source"),),
    ),
    Command("profile create", "[<remote>:]<profile>", "profile:create", "Create profiles", least=1, most=1),
    Command(
        "profile delete", "[<remote>:]<profile>", "profile:delete", "Delete profiles", least=1, most=1, aliases=("rm",)
    ),
    Command("profile device", summary="Manage devices"),
    Command(
        "profile device add",
        "[<remote>:]<profile> <device> <type> [key=value...]",
        "profile_device:add",
        "Add instance devices",
        least=3,
        most=None,
        examples=_DEVICE_EXAMPLES,
    ),
    Command(
        "profile device get",
        "[<remote>:]<profile> <device> <key>",
        "profile_device:get",
        "Get values for device configuration keys",
        least=3,
        most=3,
    ),
    Command(
        "profile device list",
        "[<remote>:]<profile>",
        "profile_device:listing",
        "List instance devices",
        least=1,
        most=1,
        aliases=("ls",),
    ),
    Command(
        "profile device remove",
        "[<remote>:]<profile> <name>...",
        "profile_device:remove",
        "Remove instance devices",
        least=2,
        most=None,
        aliases=("rm",),
    ),
    Command(
        "profile device set",
        "[<remote>:]<profile> <device> <key>=<value>...",
        "profile_device:set_",
        "Set device configuration keys",
        least=3,
        most=None,
        long=also_one_key("Set device configuration keys", "lxc profile device set [<remote>:]<profile> <device>"),
    ),
    Command(
        "profile device show",
        "[<remote>:]<profile>",
        "profile_device:show",
        "Show full device configuration",
        least=1,
        most=1,
    ),
    Command(
        "profile device unset",
        "[<remote>:]<profile> <device> <key>",
        "profile_device:unset",
        "Unset device configuration keys",
        least=3,
        most=3,
    ),
    Command(
        "profile edit",
        "[<remote>:]<profile>",
        "profile:edit",
        "Edit profile configurations as YAML",
        least=1,
        most=1,
        examples="lxc profile edit <profile> < profile.yaml\n    Take the configuration from a file.",
    ),
    Command(
        "profile get",
        "[<remote>:]<profile> <key>",
        "profile:get",
        "Get values for profile configuration keys",
        least=2,
        most=2,
    ),
    Command(
        "profile list",
        "[<remote>:]",
        "profile:listing",
        "List profiles",
        most=1,
        aliases=("ls",),
        flags=(Flag("format", "f", "text", default="table", help="Format (csv|json|table|yaml|compact)"),),
    ),
    Command(
        "profile remove",
        "[<remote>:]<instance> <profile>",
        "profile:remove",
        "Remove profiles from instances",
        least=2,
        most=2,
    ),
    Command(
        "profile rename",
        "[<remote>:]<profile> <new-name>",
        "profile:rename",
        "Rename profiles",
        least=2,
        most=2,
        aliases=("mv",),
    ),
    Command(
        "profile set",
        "[<remote>:]<profile> <key><value>...",
        "profile:set_",
        "Set profile configuration keys",
        least=2,
        most=None,
        long=also_one_key("Set profile configuration keys", "lxc profile set [<remote>:]<profile>"),
    ),
    Command("profile show", "[<remote>:]<profile>", "profile:show", "Show profile configurations", least=1, most=1),
    Command(
        "profile unset",
        "[<remote>:]<profile> <key>",
        "profile:unset",
        "Unset profile configuration keys",
        least=2,
        most=2,
    ),
)
