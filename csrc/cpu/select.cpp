#include "select.h"

#include <algorithm>
#include <functional>

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

template <class T>
static T nth(T* values, int n, int count) {
    std::nth_element(values, values + count - 1, values + n, std::greater<T>());
    return values[count - 1];
}

float nth_largest(float* values, int n, int count) {
    return nth(values, n, count);
}
double nth_largest(double* values, int n, int count) {
    return nth(values, n, count);
}

}  // namespace sparsedef
