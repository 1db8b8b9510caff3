// What the command line asks for. The configuration is in the environment: there are few words.
import Core
import Linux

enum Command {
  case serve, help, version
  case health(target: Bool)
  case status(json: Bool, watch: Bool)
  /// The targets to probe, or none for the configured ones.
  case probe([[UInt8]], greet: Bool)
  case wrong([UInt8])

  init(_ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) {
    var words: [[UInt8]] = []
    for index in 1..<max(1, Int(count)) {
      if let word = arguments[index] { words.append(bytes(ofCString: word)) }
    }
    self.init(words)
  }

  init(_ words: [[UInt8]]) {
    guard let first = words.first else {
      self = .serve
      return
    }
    let rest = words.dropFirst()
    if first.equals("health") {
      let unknown = rest.first { !$0.equals("--target") }
      self = unknown.map { .wrong($0) } ?? .health(target: !rest.isEmpty)
    } else if first.equals("status") {
      let json = rest.contains { $0.equals("--json") }
      // One or the other: what is redrawn is the table.
      let unknown = rest.first { !$0.equals(json ? "--json" : "--watch") }
      self =
        unknown.map { .wrong($0) } ?? .status(json: json, watch: !json && !rest.isEmpty)
    } else if first.equals("probe") {
      let unknown = rest.first { $0.first == UInt8(ascii: "-") && !$0.equals("--greet") }
      self =
        unknown.map { .wrong($0) }
        ?? .probe(
          rest.filter { !$0.equals("--greet") }, greet: rest.contains { $0.equals("--greet") })
    } else if let second = rest.first {
      self = .wrong(second)
    } else if first.equals("--help") || first.equals("-h") {
      self = .help
    } else if first.equals("--version") {
      self = .version
    } else {
      self = .wrong(first)
    }
  }
}

let helpText: StaticString = """
  sidecar forwards TCP connections to a target, or sleeps until it is stopped.

  Usage: sidecar                run as the environment says
         sidecar health         exit 0 if the running sidecar is up, else 1 and
                                why; --target: and the target was reached lately
         sidecar status         what it is doing; --json for scripts, --watch to
                                see it change
         sidecar probe          looks each target's name up and connects to it;
                                HOST:PORT ... for others, --greet to see what
                                speaks there
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
    WORKERS           threads that forward (one for every two CPUs)
    STALE_LIMIT       go by the last good addresses of a name for so long when
                      no name server answers (10m)
    ON_TARGET_CHANGE  connections to an address that the name has no more: keep
                      (default), drain (end when idle) or reset
    METRICS_PORT      serve Prometheus metrics on this port (off)
    METRICS_HOST      on this address (127.0.0.1)
    STOP_TIMEOUT      how long the platform waits after SIGTERM (30s); read by
                      probe alone, which warns when draining takes longer
    PROBES            absorb (default): a client that leaves without a byte before
                      the target is reached costs the target nothing; or forward
    SANDBOX           on (default): give up, after the start, what forwarding does
                      not need; or off
  Durations: 500ms, 5s, 2m, 1h, or plain seconds.

  Signals: SIGTERM and SIGINT drain, a second one ends at once; SIGUSR1 logs
  what status shows.

  Exit codes: 0 stopped as asked, 64 wrong arguments, 69 cannot listen,
              71 system error at the start, 78 wrong configuration. health and
              status: 1 no. probe: 2 name, 3 connection, 4 no protocol recognized.

  """
