/* Semihosting: a program on the chip asks the debugger, here QEMU, for files, a console and an end. */
#ifndef UVLM_SEMIHOST_H
#define UVLM_SEMIHOST_H

#include <stdint.h>

enum { UVLM_ARGUMENTS = 8 }; /* words of a command line that are kept */
enum { UVLM_FAULT = 112 };   /* exit code of a program that faulted; no test uses it for anything else */

void uvlm_host_print(const char *text);
void uvlm_host_exit(int code) __attribute__((noreturn));
int uvlm_host_arguments(char **arguments); /* how many; room for UVLM_ARGUMENTS + 1 pointers */

#endif
