"""Encoders, the catalogue head, the actor-critic, fixed policies, and the policy artefact."""
