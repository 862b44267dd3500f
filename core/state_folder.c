/* The state folder: one weir at a time, a gen-N folder for each generation, nothing left of earlier lives.
 *
 * The lock is held by an open descriptor, so it ends with the master whatever happens (and survives its exec).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "master_parts.h"

enum { DEPTH = 16 };

/* ---- trees ---- */

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    remove(path);
    return 0;
}

void state_folder_remove(const char *folder)
{
    if (folder[0])
        nftw(folder, remove_entry, DEPTH, FTW_DEPTH | FTW_PHYS);
}

static const struct passwd *new_owner;

static int give_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    return lchown(path, new_owner->pw_uid, new_owner->pw_gid);
}

void state_folder_give(const char *folder, const char *user)
{
    new_owner = user[0] && geteuid() == 0 ? getpwnam(user) : NULL;
    if (new_owner)
        nftw(folder, give_entry, DEPTH, FTW_PHYS);
}

int state_folder_drop_to(const char *user, char *why, size_t n)
{
    const struct passwd *to = user[0] && geteuid() == 0 ? getpwnam(user) : NULL;
    if (!user[0] || geteuid() != 0)
        return 0;
    if (!to) {
        snprintf(why, n, "user: there is no user %s: make it with `useradd --system %s` or change `user:`", user, user);
        return -1;
    }
    if (initgroups(user, to->pw_gid) || setgid(to->pw_gid) || setuid(to->pw_uid)) {
        snprintf(why, n, "user: can't become %s: %s", user, strerror(errno));
        return -1;
    }
    prctl(PR_SET_DUMPABLE, 1); /* the change forbids core files and reading our own /proc */
    return 0;
}

/* ---- taking it ---- */

static int make_path(const char *path)
{
    char part[1024];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(part, 0755) && errno != EEXIST)
            return -1;
        *slash = '/';
    }
    return mkdir(part, 0700) && errno != EEXIST ? -1 : 0;
}

static int lock(const char *path, char *why, size_t n)
{
    char file[1100], owner[32] = "";
    snprintf(file, sizeof file, "%s/lock", path);
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        snprintf(why, n, "state: %s can't be written: %s; make the folder writable or change `state:`", file,
                 strerror(errno));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        ssize_t got = pread(fd, owner, sizeof owner - 1, 0);
        owner[got > 0 ? strcspn(owner, "\n") : 0] = 0;
        snprintf(why, n,
                 "state: another weir (process %s) uses the folder %s: stop it or give this one another `state:`",
                 owner, path);
        close(fd);
        return -1;
    }
    int length = snprintf(owner, sizeof owner, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) == 0 && pwrite(fd, owner, (size_t)length, 0) == length)
        return fd;
    snprintf(why, n, "state: %s can't be written: %s", file, strerror(errno));
    close(fd);
    return -1;
}

/* Generations of a master that was killed. */
static void clear_generations(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char folder[1400];
    while (dir && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, "gen-", 4))
            continue;
        snprintf(folder, sizeof folder, "%s/%s", path, entry->d_name);
        state_folder_remove(folder);
    }
    if (dir)
        closedir(dir);
}

static int check_mount(const char *path, char *why, size_t n)
{
    struct statvfs mount;
    if (statvfs(path, &mount) == 0 && (mount.f_flag & ST_NOEXEC)) {
        snprintf(why, n,
                 "state: %s is on a file system mounted noexec, and plugins are loaded from there: choose another "
                 "folder for `state:`",
                 path);
        return -1;
    }
    return 0;
}

int state_folder_take(const char *path, const char *user, char *why, size_t n)
{
    if (make_path(path)) {
        snprintf(why, n, "state: the folder %s can't be made: %s; make it or change `state:`", path, strerror(errno));
        return -1;
    }
    if (check_mount(path, why, n))
        return -1;
    int fd = lock(path, why, n);
    if (fd < 0)
        return -1;
    clear_generations(path);
    state_folder_give(path, user);
    return fd;
}

int state_folder_make(char *folder, size_t folder_n, uint32_t generation, const char *user, char *why, size_t n)
{
    int length = snprintf(folder, folder_n, "%s/gen-%u", master.state_dir, generation);
    if (length < 0 || (size_t)length >= folder_n || mkdir(folder, 0700)) {
        snprintf(why, n, "state: the folder %s can't be made: %s", folder, strerror(errno));
        folder[0] = 0;
        return -1;
    }
    state_folder_give(folder, user);
    return 0;
}
