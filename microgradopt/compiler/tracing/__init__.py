"""A call on stand-ins: what is recorded, and where its state is found."""
