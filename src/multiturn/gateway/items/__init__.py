"""Items of the Responses and Conversations APIs, and the messages they stand for."""
