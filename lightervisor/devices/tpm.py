"""Emulated TPMs. They need the kernel's proxy for them and swtpm, of which neither was there to build this with:
declared, checked and refused at the start. Source: LXD, device type tpm; Documentation/security/tpm/tpm_vtpm_proxy.rst.
"""

import shutil
from pathlib import Path

from lightervisor.config.key import key
from lightervisor.config.types import Text
from lightervisor.devices.device import Device, DeviceStart, Options, Slot, device_scope
from lightervisor.errors import Invalid, Unsupported
from lightervisor.kernel import process
from lightervisor.kernel.guests import Guest

SCOPE = device_scope("tpm")


class Tpm(Device, type="tpm"):
    """Two nodes inside."""

    KEYS = (
        key("path", Text, scope=SCOPE, group="tpm", help="Path of the TPM inside, as /dev/tpm0"),
        key("pathrm", Text, scope=SCOPE, group="tpm", help="Path of its resource manager inside, as /dev/tpmrm0"),
    )

    @classmethod
    def validate(cls, name: str, options: Options) -> None:
        """Raise Invalid unless both paths are given, and are paths inside."""
        for option in ("pathrm", "path"):
            value = options.get(option, "")
            if not value:
                text = f'Failed to validate config: Invalid value for device option "{option}": Required value'
                raise Invalid("device", name, text=text)
            if not value.startswith("/") or ".." in value.split("/"):
                raise Invalid("device", name, text=f"Invalid path {value!r}")

    def start(self, slot: Slot) -> DeviceStart:
        """Refuse, and say what is missing."""
        if not Path("/dev/vtpmx").exists():
            cause = "this kernel has no proxy for emulated TPMs (CONFIG_TCG_VTPM_PROXY)"
            raise Unsupported("device", self.name, cause=cause, remedy="modprobe tpm_vtpm_proxy")
        if shutil.which("swtpm", path=process.ENVIRONMENT["PATH"]) is None:
            raise Unsupported("device", self.name, cause="swtpm is not installed", remedy="apt install swtpm")
        cause = "emulated TPMs are not given out by this server"
        remedy = "start swtpm yourself and give its nodes as unix-char devices"
        raise Unsupported("device", self.name, cause=cause, remedy=remedy)

    def plug(self, slot: Slot, guest: Guest) -> DeviceStart:
        """Refuse it for the same reason: stopping the instance would not help."""
        return self.start(slot)
