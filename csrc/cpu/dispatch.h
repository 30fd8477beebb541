// Chooses the kernels for this processor's instruction set.
#pragma once
#include <string>
#include <vector>

#include "tasks.h"

namespace sparsedef {

struct Kernels {
    const char* isa;
    bool (*is_supported)();  // by this processor
    bool has_vnni;           // AVX-512 VNNI: four products of bytes in one instruction
    void (*omp_float)(const OmpTask<float>&);
    void (*omp_double)(const OmpTask<double>&);
    void (*patch_omp_float)(const PatchTask<float>&);
    void (*patch_omp_double)(const PatchTask<double>&);
    void (*lasso_float)(const LassoTask<float>&);
    void (*lasso_double)(const LassoTask<double>&);
    void (*proximal_step_float)(const ProximalStepTask<float>&);
    void (*proximal_step_double)(const ProximalStepTask<double>&);
    void (*proximal_gap_float)(const ProximalGapTask<float>&);
    void (*proximal_gap_double)(const ProximalGapTask<double>&);
    void (*code_statistics_float)(const CodeStatisticsTask<float>&);
    void (*code_statistics_double)(const CodeStatisticsTask<double>&);
    void (*update_atoms_float)(const UpdateAtomsTask<float>&);
    void (*update_atoms_double)(const UpdateAtomsTask<double>&);

    void omp(const OmpTask<float>& task) const {
        omp_float(task);
    }
    void omp(const OmpTask<double>& task) const {
        omp_double(task);
    }
    void patch_omp(const PatchTask<float>& task) const {
        patch_omp_float(task);
    }
    void patch_omp(const PatchTask<double>& task) const {
        patch_omp_double(task);
    }
    void lasso(LassoTask<float> task) const {
        task.has_vnni = has_vnni;
        lasso_float(task);
    }
    void lasso(LassoTask<double> task) const {
        task.has_vnni = has_vnni;
        lasso_double(task);
    }
    void proximal_step(const ProximalStepTask<float>& task) const {
        proximal_step_float(task);
    }
    void proximal_step(const ProximalStepTask<double>& task) const {
        proximal_step_double(task);
    }
    void proximal_gap(const ProximalGapTask<float>& task) const {
        proximal_gap_float(task);
    }
    void proximal_gap(const ProximalGapTask<double>& task) const {
        proximal_gap_double(task);
    }
    void code_statistics(const CodeStatisticsTask<float>& task) const {
        code_statistics_float(task);
    }
    void code_statistics(const CodeStatisticsTask<double>& task) const {
        code_statistics_double(task);
    }
    void update_atoms(const UpdateAtomsTask<float>& task) const {
        update_atoms_float(task);
    }
    void update_atoms(const UpdateAtomsTask<double>& task) const {
        update_atoms_double(task);
    }
};

const Kernels& active_kernels();

// Names of the instruction sets that are compiled in, and of those that this processor runs as well
std::vector<std::string> compiled_isas();
std::vector<std::string> supported_isas();

// Forces one of supported_isas(), or "auto"; throws std::invalid_argument.
void set_isa(const std::string& name);

}  // namespace sparsedef
