"""The command line. Must hold no logic of the cloud: a command reads its options, calls `lazur.lifecycle`, and prints."""
