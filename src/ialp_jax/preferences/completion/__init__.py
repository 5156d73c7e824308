"""What a table says of items without a judgement, and of users without a row."""
