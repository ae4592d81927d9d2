"""The only place where objects meet: settings in, running parts out."""
