"""`rft schedule`: rounds that go on by themselves, here or by the scheduler that a person has."""
