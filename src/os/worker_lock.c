/* How a worker is locked in. The filter lists what a decoder of bytes needs: memory, threads of its
 * own process, its descriptors, the clock. Everything else answers EACCES, so that a library that
 * asks for a file of its own goes on without. */
#include "os/worker_priv.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = true };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif
#else
enum { SANITIZED = false };
#endif

struct WorkerLock {
    scmp_filter_ctx filter;
};

static const int allowed[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(preadv),
    SCMP_SYS(lseek),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(close),
    SCMP_SYS(dup),
    SCMP_SYS(fcntl),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrandom),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(getrusage),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(membarrier),
    SCMP_SYS(getcpu),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
};

/* Calls that are allowed with some arguments only. */
static int add_conditional(scmp_filter_ctx filter)
{
    int failed = 0;
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                               SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    failed |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3),
                               0); /* then glibc takes clone */
    failed |=
        seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0));
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                               SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                               SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())); /* abort */
    return failed;
}

bool worker_lock_possible(void)
{
    uint32_t action = SECCOMP_RET_ERRNO;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

Code worker_lock_prepare(WorkerLock **ret_lock, Err *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EACCES));
    if (!filter)
        return err_set(err, E_FORBIDDEN, "no seccomp filter can be made");
    int failed = add_conditional(filter);
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
        failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    if (failed) {
        seccomp_release(filter);
        return err_set(err, E_FORBIDDEN, "the seccomp filter cannot be made");
    }
    *ret_lock = mem_new(sizeof **ret_lock);
    (*ret_lock)->filter = filter;
    return E_OK;
}

/* ---- Landlock: no file, no port, no signal to others; nothing where the kernel does not have it
 * ---- */

static void forbid_files(void)
{
    enum { CREATE_RULESET = 444, RESTRICT_SELF = 446, WANT_VERSION = 1 };
    struct {
        uint64_t files, ports, scopes;
    } rules = { 0 };
    long version = syscall(CREATE_RULESET, NULL, 0, WANT_VERSION);
    if (version < 1)
        return;
    unsigned file_rights = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
    rules.files = (UINT64_C(1) << file_rights) - 1;
    rules.ports = version >= 4 ? 3 : 0;
    rules.scopes = version >= 6 ? 3 : 0;
    long ruleset = syscall(CREATE_RULESET, &rules, sizeof rules, 0);
    if (ruleset < 0)
        return;
    IGNORE(syscall(RESTRICT_SELF, ruleset, 0)); /* the filter stands alone then */
    close((int)ruleset);
}

static bool limit(int what, uint64_t value)
{
    struct rlimit rlimit = { value, value };
    return setrlimit(what, &rlimit) == 0;
}

Code worker_lock_close(WorkerLock *lock, const WorkerLimits *limits, Err *err)
{
    uint64_t memory = limits->memory_bytes ? limits->memory_bytes : UINT64_C(2) << 30;
    uint64_t seconds = limits->cpu_seconds ? limits->cpu_seconds : 60;
    if (!limit(RLIMIT_CORE, 0) || !limit(RLIMIT_FSIZE, limits->file_bytes) ||
        !limit(RLIMIT_CPU, seconds) || (!SANITIZED && !limit(RLIMIT_DATA, memory)))
        return err_set(err, E_FORBIDDEN, "a worker's limits cannot be set: %s", strerror(errno));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return err_set(err, E_FORBIDDEN, "a worker cannot give up privileges: %s", strerror(errno));
    forbid_files();
    int failed = seccomp_load(lock->filter);
    if (failed)
        return err_set(err, E_FORBIDDEN, "a worker's seccomp filter cannot be set: %s",
                       strerror(-failed));
    return E_OK;
}
