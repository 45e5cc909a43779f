/*
 * The floor: what a probe costs a bare program on blocking sockets, with OpenSSL where it encrypts. Nothing is
 * scheduled, timed, judged or kept. Connections are fresh, one after the other.
 *
 *   floor http|https|tcp PORT COUNT PAUSE_US [CA_FILE]   nanoseconds of CPU for each of COUNT exchanges
 *   floor cpu PID                                        nanoseconds of CPU that a process has used so far
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char REQUEST[] =
    "GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: floor\r\naccept: */*\r\nconnection: close\r\n\r\n";
static const int WARM_UP = 50;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static long long cpu(clockid_t clock) {
  struct timespec now;
  if (clock_gettime(clock, &now)) fail("clock_gettime");
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int dial(int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int one = 1, s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (s < 0) fail("socket");
  if (connect(s, (struct sockaddr *)&to, sizeof to)) fail("connect");
  setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return s;
}

/* An answer is good if it starts as it should and ends with the body, which is "ok". */
static int is_whole(const char *answer, int size) {
  return size > 12 && !memcmp(answer, "HTTP/1.1 200", 12) && !memcmp(answer + size - 2, "ok", 2);
}

static void http(int port) {
  char answer[4096];
  int size = 0, got, s = dial(port);
  if (send(s, REQUEST, sizeof REQUEST - 1, 0) != sizeof REQUEST - 1) fail("send");
  while (!is_whole(answer, size)) {
    got = recv(s, answer + size, sizeof answer - size, 0);
    if (got <= 0) fail("recv");
    size += got;
  }
  close(s);
}

static void https(int port, SSL_CTX *context) {
  char answer[4096];
  int size = 0, got, s = dial(port);
  SSL *ssl = SSL_new(context);
  if (!ssl || !SSL_set_fd(ssl, s)) fail("SSL_new");
  X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), "127.0.0.1");
  if (SSL_connect(ssl) != 1) fail("SSL_connect");
  if (SSL_write(ssl, REQUEST, sizeof REQUEST - 1) != sizeof REQUEST - 1) fail("SSL_write");
  while (!is_whole(answer, size)) {
    got = SSL_read(ssl, answer + size, sizeof answer - size);
    if (got <= 0) fail("SSL_read");
    size += got;
  }
  SSL_shutdown(ssl);
  SSL_free(ssl);
  close(s);
}

static SSL_CTX *trusting(const char *authority) {
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION)) fail("SSL_CTX_new");
  if (!SSL_CTX_load_verify_locations(context, authority, NULL)) fail(authority);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  return context;
}

static int cpu_of(int process) {
  clockid_t clock;
  if (clock_getcpuclockid(process, &clock)) return 1;
  printf("%lld\n", cpu(clock));
  return 0;
}

int main(int words, char **word) {
  if (words == 3 && !strcmp(word[1], "cpu")) return cpu_of(atoi(word[2]));
  if (words < 5) return 2;
  signal(SIGPIPE, SIG_IGN);
  const char *kind = word[1];
  int port = atoi(word[2]), count = atoi(word[3]), pause = atoi(word[4]);
  SSL_CTX *context = words > 5 ? trusting(word[5]) : NULL;
  struct timespec next;
  long long start = 0;
  clock_gettime(CLOCK_MONOTONIC, &next);
  for (int n = -WARM_UP; n < count; n++) {
    if (n == 0) start = cpu(CLOCK_PROCESS_CPUTIME_ID);
    if (pause > 0 && n >= 0) {
      next.tv_nsec += pause * 1000L;
      next.tv_sec += next.tv_nsec / 1000000000L;
      next.tv_nsec %= 1000000000L;
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    } else {
      clock_gettime(CLOCK_MONOTONIC, &next);
    }
    if (context) https(port, context);
    else if (!strcmp(kind, "http")) http(port);
    else close(dial(port));
  }
  printf("%lld\n", (cpu(CLOCK_PROCESS_CPUTIME_ID) - start) / count);
  return 0;
}
