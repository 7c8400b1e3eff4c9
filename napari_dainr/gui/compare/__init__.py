"""The dock "DA-INR compare": several methods on the same data, side by side, against each other and against a truth."""
