#include "dispatch.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#define SPARSEDEF_DECLARE(ISA)                               \
    namespace sparsedef::ISA {                               \
    void omp(const OmpTask<float>&);                         \
    void omp(const OmpTask<double>&);                        \
    void patch_omp(const PatchTask<float>&);                 \
    void patch_omp(const PatchTask<double>&);                \
    void lasso(const LassoTask<float>&);                     \
    void lasso(const LassoTask<double>&);                    \
    void proximal_step(const ProximalStepTask<float>&);      \
    void proximal_step(const ProximalStepTask<double>&);     \
    void proximal_gap(const ProximalGapTask<float>&);        \
    void proximal_gap(const ProximalGapTask<double>&);       \
    void code_statistics(const CodeStatisticsTask<float>&);  \
    void code_statistics(const CodeStatisticsTask<double>&); \
    void update_atoms(const UpdateAtomsTask<float>&);        \
    void update_atoms(const UpdateAtomsTask<double>&);       \
    }
#define SPARSEDEF_KERNELS(NAME, ISA, SUPPORTED, HAS_VNNI)                                     \
    Kernels {                                                                                 \
        #NAME, [] { return bool(SUPPORTED); }, HAS_VNNI, ISA::omp, ISA::omp, ISA::patch_omp,  \
            ISA::patch_omp, ISA::lasso, ISA::lasso, ISA::proximal_step, ISA::proximal_step,   \
            ISA::proximal_gap, ISA::proximal_gap, ISA::code_statistics, ISA::code_statistics, \
            ISA::update_atoms, ISA::update_atoms                                              \
    }

SPARSEDEF_DECLARE(baseline)
#ifdef SPARSEDEF_X86
SPARSEDEF_DECLARE(avx2)
SPARSEDEF_DECLARE(avx512)
#endif

namespace sparsedef {
namespace {

#ifdef SPARSEDEF_X86
bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}
#endif

const Kernels kAll[] = {
// the best first
#ifdef SPARSEDEF_X86
    SPARSEDEF_KERNELS(avx512vnni, avx512, has_avx512() && __builtin_cpu_supports("avx512vnni"),
                      true),
    SPARSEDEF_KERNELS(avx512, avx512, has_avx512(), false),
    SPARSEDEF_KERNELS(avx2, avx2, has_avx2(), false),
#endif
    SPARSEDEF_KERNELS(baseline, baseline, true, false),
};

const Kernels& find(const std::string& name) {
    for (const Kernels& kernels : kAll) {
        if (kernels.is_supported() && (name == "auto" || name == kernels.isa)) return kernels;
    }
    std::string known;
    for (const std::string& isa : supported_isas()) known += " " + isa;
    throw std::invalid_argument("the instruction set must be auto or one of:" + known + ", got " +
                                name);
}

std::atomic<const Kernels*>& active() {
    static std::atomic<const Kernels*> chosen{[] {
        const char* wanted = std::getenv("SPARSEDEF_ISA");
        return &find(wanted == nullptr || *wanted == 0 ? "auto" : wanted);
    }()};
    return chosen;
}

}  // namespace

const Kernels& active_kernels() {
    return *active();
}

std::vector<std::string> compiled_isas() {
    std::vector<std::string> names;
    for (const Kernels& kernels : kAll) names.emplace_back(kernels.isa);
    return names;
}

std::vector<std::string> supported_isas() {
    std::vector<std::string> names;
    for (const Kernels& kernels : kAll) {
        if (kernels.is_supported()) names.emplace_back(kernels.isa);
    }
    return names;
}

void set_isa(const std::string& name) {
    active() = &find(name);
}

}  // namespace sparsedef
