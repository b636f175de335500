// SPDX-License-Identifier: BSL-1.0
// The thread sanitizer does not know the threads, mutexes and conditions of C11, by which librdkafka works: without
// this it fails at the first allocation of such a thread. Here they are what it knows, POSIX's, which is what glibc
// makes them of. Nothing in any other build.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)

#include <cerrno>
#include <cstdint>
#include <memory>

#include <pthread.h>
#include <threads.h>

namespace {

static_assert(sizeof(thrd_t) == sizeof(pthread_t) && sizeof(mtx_t) >= sizeof(pthread_mutex_t) &&
              sizeof(cnd_t) >= sizeof(pthread_cond_t));

struct Start {
    thrd_start_t run;
    void* argument;
};
int result(int error) { return error == 0 ? thrd_success : error == ETIMEDOUT ? thrd_timedout : thrd_error; }
auto* posix(mtx_t* mutex) { return reinterpret_cast<pthread_mutex_t*>(mutex); }
auto* posix(cnd_t* condition) { return reinterpret_cast<pthread_cond_t*>(condition); }

} // namespace

extern "C" {
int thrd_create(thrd_t* thread, thrd_start_t run, void* argument) {
    auto start = std::make_unique<Start>(Start{run, argument});
    const auto body = [](void* given) -> void* {
        const std::unique_ptr<Start> begin{static_cast<Start*>(given)};
        return reinterpret_cast<void*>(static_cast<std::intptr_t>(begin->run(begin->argument)));
    };
    const int error = pthread_create(thread, nullptr, body, start.get());
    if (error == 0) static_cast<void>(start.release());
    return result(error);
}
int thrd_join(thrd_t thread, int* value) {
    void* returned = nullptr;
    const int error = pthread_join(thread, &returned);
    if (value != nullptr) *value = static_cast<int>(reinterpret_cast<std::intptr_t>(returned));
    return result(error);
}
int thrd_detach(thrd_t thread) { return result(pthread_detach(thread)); }
int mtx_init(mtx_t* mutex, int type) {
    pthread_mutexattr_t attributes{};
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes,
                              (type & mtx_recursive) != 0 ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL);
    return result(pthread_mutex_init(posix(mutex), &attributes));
}
void mtx_destroy(mtx_t* mutex) { pthread_mutex_destroy(posix(mutex)); }
int mtx_lock(mtx_t* mutex) { return result(pthread_mutex_lock(posix(mutex))); }
int mtx_trylock(mtx_t* mutex) {
    const int error = pthread_mutex_trylock(posix(mutex));
    return error == EBUSY ? thrd_busy : result(error);
}
int mtx_unlock(mtx_t* mutex) { return result(pthread_mutex_unlock(posix(mutex))); }
int cnd_init(cnd_t* condition) { return result(pthread_cond_init(posix(condition), nullptr)); }
void cnd_destroy(cnd_t* condition) { pthread_cond_destroy(posix(condition)); }
int cnd_wait(cnd_t* condition, mtx_t* mutex) { return result(pthread_cond_wait(posix(condition), posix(mutex))); }
int cnd_timedwait(cnd_t* condition, mtx_t* mutex, const timespec* until) {
    return result(pthread_cond_timedwait(posix(condition), posix(mutex), until));
}
int cnd_signal(cnd_t* condition) { return result(pthread_cond_signal(posix(condition))); }
int cnd_broadcast(cnd_t* condition) { return result(pthread_cond_broadcast(posix(condition))); }
}

#endif
#endif
