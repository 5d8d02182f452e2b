"""The subcommands of `ptescope`, one a module."""
