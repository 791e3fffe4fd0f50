"""What the tests share: a daemon of their own, three clients, small images, the leak check."""
