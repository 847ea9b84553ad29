"""One small module per `tadsr <command>`: open the run, call the library, write the receipt."""
