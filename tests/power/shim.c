/* A model of power loss: preloaded into a program, it remembers what would survive.

   After each fsync or fdatasync of a file its contents are copied to $POWER_SHADOW/file-<inode>; after each fsync of a
   folder the names in it, with their inodes, are written to $POWER_SHADOW/folder-<inode>. What was not synced is not
   remembered: power_loss.py builds the tree of what is left. Names are stricter here than on most file systems, where the
   name of a new file often comes with its contents. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void copy_file(int fd, const char *target)
{
    char path[64], aside[4200];
    static char buffer[1 << 20];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    snprintf(aside, sizeof aside, "%s.%d.new", target, (int)gettid());
    int from = open(path, O_RDONLY), to = open(aside, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ssize_t count;
    if (from >= 0 && to >= 0)
        while ((count = read(from, buffer, sizeof buffer)) > 0)
            if (write(to, buffer, count) != count)
                break;
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    rename(aside, target);
}

static void list_folder(int fd, const char *target)
{
    char path[64], aside[4200];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    snprintf(aside, sizeof aside, "%s.%d.new", target, (int)gettid());
    DIR *folder = opendir(path);
    FILE *list = fopen(aside, "w");
    struct dirent *entry;
    if (folder && list)
        while ((entry = readdir(folder)))
            fprintf(list, "%llu %s\n", (unsigned long long)entry->d_ino, entry->d_name);
    if (folder)
        closedir(folder);
    if (list)
        fclose(list);
    rename(aside, target);
}

static void remember(int fd)
{
    const char *shadow = getenv("POWER_SHADOW");
    struct stat status;
    char target[4096];
    if (!shadow || fstat(fd, &status) != 0)
        return;
    if (S_ISDIR(status.st_mode)) {
        snprintf(target, sizeof target, "%s/folder-%llu", shadow, (unsigned long long)status.st_ino);
        list_folder(fd, target);
    } else if (S_ISREG(status.st_mode)) {
        snprintf(target, sizeof target, "%s/file-%llu", shadow, (unsigned long long)status.st_ino);
        copy_file(fd, target);
    }
}

int fsync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    int result = real(fd);
    if (result == 0)
        remember(fd);
    return result;
}

int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    int result = real(fd);
    if (result == 0)
        remember(fd);
    return result;
}
