/* jit.c in a plugin: the registrar arrives with it and is nobody else's. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char path[512] = "";
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 16);
    char *slash = n > 0 ? strrchr(path, '/') : path;
    strcpy(slash + (n > 0), "jit_plugin.so");
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    int (*run)(int, char **) = plugin ? (int (*)(int, char **))dlsym(plugin, "jit_main") : NULL;
    if (!run) {
        puts(dlerror());
        return 3;
    }
    int status = run(argc, argv);
    __asm__ volatile("" : "+r"(status)); /* main stays on the stack */
    return status;
}
