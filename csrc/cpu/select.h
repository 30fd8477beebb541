// Partial sorting, compiled once for the baseline (see threads.h for the reason).
#pragma once

namespace sparsedef {

struct Candidate {
    double value;
    int atom;
};

// Moves the `count` candidates with the largest values to the front; ties to the lower atom.
void select_largest(Candidate* candidates, int n, int count);

// Ascending atoms.
void sort_by_atom(Candidate* candidates, int n);

}  // namespace sparsedef
