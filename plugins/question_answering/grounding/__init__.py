"""Find the boxes that phrases name, by the energies of a mechanism between words and boxes."""
