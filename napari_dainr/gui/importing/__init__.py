"""The dock in which a user says what a raw file means, and sees what follows."""
