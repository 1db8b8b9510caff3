// What the command line asks for. The configuration is in the environment: there are few words.
import Core
import Linux

enum Command {
  case serve, help, version
  case wrong([UInt8])

  init(_ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) {
    guard count > 1, let first = arguments[1] else {
      self = .serve
      return
    }
    let word = bytes(ofCString: first)
    if count > 2, let second = arguments[2] {
      self = .wrong(bytes(ofCString: second))
    } else if word.equals("--help") || word.equals("-h") {
      self = .help
    } else if word.equals("--version") {
      self = .version
    } else {
      self = .wrong(word)
    }
  }
}

let helpText: StaticString = """
  sidecar forwards TCP connections to a target, or sleeps until it is told to stop.

  Usage: sidecar                run as the environment says
         sidecar --help         this text
         sidecar --version      the release

  Variables, an empty one counts as unset:
    MODE              proxy (default) or sleep
    TARGET_HOST       name or address to forward to; required in proxy mode
    TARGET_PORT       its port; required in proxy mode
    LISTEN_PORT       port to listen on (8080)
    LISTEN_HOST       address to listen on (all, IPv4 and IPv6)
    FORWARDS          several forwards in place of the three above without HOST:
                      5432=writer.example:5432,5433=reader.example:5432
    LOG_LEVEL         error, warn, info (default) or debug
    LOG_FORMAT        text (default) or json
    CONNECT_TIMEOUT   how long to look up and reach the target (5s)
    IDLE_TIMEOUT      end connections that move no byte for so long (off)
    PEER_TIMEOUT      notice a vanished peer within this (30s)
    DRAIN_DELAY       go on accepting after SIGTERM for so long (0s)
    DRAIN_TIMEOUT     let connections finish for so long, then cut them (25s)
    MAX_CONNECTIONS   more wait in the backlog (what the descriptor limit allows)
    WORKERS           threads that forward (the CPUs the container may use)
    STALE_LIMIT       go by the last good addresses of a name for so long when
                      no name server answers (10m)
    ON_TARGET_CHANGE  connections to an address that the name has no more: keep
                      (default), drain (end when idle) or reset
    PROBES            absorb (default): a client that leaves without a byte before
                      the target is reached costs the target nothing; or forward
  Durations: 500ms, 5s, 2m, 1h, or plain seconds.

  Exit codes: 0 stopped as asked, 64 wrong arguments, 69 cannot listen,
              71 system error at the start, 78 wrong configuration.

  """
