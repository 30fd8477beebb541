// Chooses the kernels for this processor's instruction set.
#pragma once
#include <string>
#include <vector>

#include "tasks.h"

namespace sparsedef {

struct Kernels {
    const char* isa;
    bool (*is_supported)();  // by this processor
    void (*omp_float)(const OmpTask<float>&);
    void (*omp_double)(const OmpTask<double>&);
    void (*lasso_float)(const LassoTask<float>&);
    void (*lasso_double)(const LassoTask<double>&);

    void omp(const OmpTask<float>& task) const {
        omp_float(task);
    }
    void omp(const OmpTask<double>& task) const {
        omp_double(task);
    }
    void lasso(const LassoTask<float>& task) const {
        lasso_float(task);
    }
    void lasso(const LassoTask<double>& task) const {
        lasso_double(task);
    }
};

const Kernels& active_kernels();

// Names of the instruction sets that are compiled in, and of those that this processor runs as well
std::vector<std::string> compiled_isas();
std::vector<std::string> supported_isas();

// Forces one of supported_isas(), or "auto"; throws std::invalid_argument.
void set_isa(const std::string& name);

}  // namespace sparsedef
