"""What differs between two topologies, in meaning: a picture of each, the changes between them, what these mean."""
