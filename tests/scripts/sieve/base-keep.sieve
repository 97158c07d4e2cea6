# Nothing but a comment: the message is kept.
