"""The checks of `tadsr doctor`, one file per subject; each yields findings and changes nothing."""

from tadsr.commands.checkup.findings import Finding, Level

__all__ = ["Finding", "Level"]
