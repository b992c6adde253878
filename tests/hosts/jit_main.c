int jit_main(int argc, char **argv);
int main(int argc, char **argv) {
    int status = jit_main(argc, argv);
    __asm__ volatile("" : "+r"(status)); /* main stays on the stack */
    return status;
}
