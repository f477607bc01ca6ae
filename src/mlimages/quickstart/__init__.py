"""The guided run: the whole job once, small. Nothing else imports it."""
