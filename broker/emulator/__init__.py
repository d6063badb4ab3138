"""STS and COS on loopback, for development and tests. Start one with `server.Emulator`; never runs inside `serve`."""
