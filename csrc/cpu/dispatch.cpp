#include "dispatch.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#define SPARSEDEF_DECLARE(ISA)            \
    namespace sparsedef::ISA {            \
    void omp(const OmpTask<float>&);      \
    void omp(const OmpTask<double>&);     \
    void lasso(const LassoTask<float>&);  \
    void lasso(const LassoTask<double>&); \
    }
#define SPARSEDEF_KERNELS(ISA, SUPPORTED)                                                \
    Kernels {                                                                            \
        #ISA, [] { return bool(SUPPORTED); }, ISA::omp, ISA::omp, ISA::lasso, ISA::lasso \
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
#endif

const Kernels kAll[] = {
// the best first
#ifdef SPARSEDEF_X86
    SPARSEDEF_KERNELS(avx512, has_avx2() && __builtin_cpu_supports("avx512f") &&
                                  __builtin_cpu_supports("avx512vl") &&
                                  __builtin_cpu_supports("avx512dq") &&
                                  __builtin_cpu_supports("avx512bw")),
    SPARSEDEF_KERNELS(avx2, has_avx2()),
#endif
    SPARSEDEF_KERNELS(baseline, true),
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
