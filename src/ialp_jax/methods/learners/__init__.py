"""Learners that several methods are made of; a learner of one method alone stands in that method's file."""
