"""What is measured of a call, and how on each kind of device."""
