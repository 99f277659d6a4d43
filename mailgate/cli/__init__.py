"""The commands: mailgate and its subcommands, a file each."""
