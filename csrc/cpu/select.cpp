#include "select.h"

#include <algorithm>

namespace sparsedef {

void select_largest(Candidate* candidates, int n, int count) {
    if (count >= n) return;
    std::nth_element(candidates, candidates + count, candidates + n,
                     [](const Candidate& a, const Candidate& b) {
                         return a.value != b.value ? a.value > b.value : a.atom < b.atom;
                     });
}

void sort_by_atom(Candidate* candidates, int n) {
    std::sort(candidates, candidates + n,
              [](const Candidate& a, const Candidate& b) { return a.atom < b.atom; });
}

}  // namespace sparsedef
