// What a schedule is about, drawn from its seed: the daemon's settings, the kernel's moods, who
// comes when and what they want.

struct Plan {
  static let namePort: UInt16 = 53
  static let firstListenPort: UInt16 = 8080
  static let firstTargetPort: UInt16 = 5432
  static let names = ["db0.example", "db1.example", "db2.example"]

  struct Forward {
    let listenPort: UInt16
    let targetPort: UInt16
    let host: String
  }

  struct Visit {
    let at: Time
    let forward: Int
    let script: [Step]
    let life: Time
  }

  // The daemon's settings.
  var environment: [String: String] = [:]
  var forwards: [Forward] = []
  let workers: Int
  let maxConnections: Int
  let connectTimeout: Time
  let idleTimeout: Time?
  let peerTimeout: Time
  let drainDelay: Time
  let drainTimeout: Time
  let absorbsProbes: Bool
  let onTargetChange: String
  let metricsPort: UInt16?

  // The kernel.
  let descriptors: Int
  let pipeQuotaPages: Int
  let receiveCapacity: Int
  let sendCapacity: Int
  let fewEvents: Bool
  let delaysEvents: Int
  let spuriousEvents: Int
  let interrupts: Int
  let failsToWatch: Int
  let failsToAllocate: Int
  let shortSplices: Int
  let hasNoSplice: Bool
  let knowsWindow: Bool
  let isOutputShort: Bool
  let controlTakenUntil: Time
  let shortages: Int
  /// In so many turns once.
  let standsStill: Int
  let lowersLimit: Int
  let stallsOutput: Bool

  // The world.
  let resolvConf: String
  let hosts: String
  private(set) var visits: [Visit] = []
  let latency: ClosedRange<Int>
  let isBusyNetwork: Bool
  let changesTargets: Bool
  let serversAreBad: Bool
  /// When the first SIGTERM comes in the middle of everything; nil after all has settled.
  private(set) var stopsAt: Time?
  private(set) var stopsAgainAfter: Time?
  /// When the last of the visits is over.
  private(set) var lastEnd: Time = 0

  /// The target's name leads elsewhere in the middle of it.
  let isFailover: Bool
  /// Many names that nobody knows, asked for under many endings at servers that refuse.
  let asksMuch: Bool

  init(_ chance: inout Chance) {
    isFailover = chance.one(in: 8)
    asksMuch = !isFailover && chance.one(in: 16)
    workers = chance.number(1...3)
    connectTimeout = .milliseconds(chance.pick([300, 1_000, 2_000, 5_000]))
    idleTimeout = chance.one(in: 4) ? .milliseconds(chance.pick([200, 1_000, 3_000])) : nil
    peerTimeout = .seconds(chance.pick([1, 2, 3, 6, 30]))
    drainDelay = chance.one(in: 2) ? 0 : .milliseconds(chance.number(1...800))
    drainTimeout = .milliseconds(chance.pick([0, 20, 500, 5_000, 25_000]))
    absorbsProbes = !chance.one(in: 4)
    onTargetChange = chance.pick(isFailover ? ["drain", "reset"] : ["keep", "drain", "reset"])
    metricsPort = chance.one(in: 6) ? 9_090 : nil
    maxConnections = chance.one(in: 3) ? chance.number(1...3) : 1_000
    descriptors = chance.one(in: 4) ? chance.number(42...64) : 400
    pipeQuotaPages = chance.pick([16_384, 16_384, 16_384, 400, 100, 16])
    receiveCapacity = chance.pick([4_096, 65_536, 65_536, 400_000])
    sendCapacity = chance.pick([4_608, 46_080, 87_040, 400_000])
    fewEvents = chance.one(in: 8)
    delaysEvents = chance.pick([0, 0, 3, 20])
    spuriousEvents = chance.pick([0, 0, 2, 10])
    interrupts = chance.pick([0, 0, 10])
    failsToWatch = chance.one(in: 8) ? chance.number(3...40) : 0
    failsToAllocate = chance.one(in: 16) ? chance.number(1...4) : 0
    shortSplices = chance.pick([0, 2, 6])
    hasNoSplice = chance.one(in: 20)
    knowsWindow = !chance.one(in: 4)
    isOutputShort = chance.one(in: 8)
    controlTakenUntil = chance.one(in: 12) ? Schedule.start + .milliseconds(3_000) : 0
    shortages = chance.one(in: 6) ? chance.number(1...4) : 0
    lowersLimit = chance.one(in: 6) ? chance.number(1...3) : 0
    stallsOutput = chance.one(in: 6)
    standsStill = chance.one(in: 4) ? chance.pick([100, 1_000]) : 0
    latency = chance.pick([5...50, 20...400, 200...20_000, 5...5_000])
    isBusyNetwork = chance.one(in: 2)
    changesTargets = chance.one(in: 3)
    serversAreBad = chance.one(in: 3)
    var conf = ""
    for server in 1...(asksMuch ? 3 : chance.number(1...3)) {
      conf += "nameserver 10.9.0.\(server)\n"
    }
    let options = chance.pick(["", "", "rotate", "single-request", "use-vc", "attempts:3"])
    if !options.isEmpty { conf += "options \(options)\n" }
    if asksMuch || chance.one(in: 4) { conf += "search one.example two.example\n" }
    resolvConf = conf
    hosts = "127.0.0.1 localhost\n10.0.7.1 listed.example\n10.0.7.2 listed.example\n"
    addForwards(&chance)
    addVisits(&chance)
    if chance.one(in: 3) {
      stopsAt = Schedule.start + .milliseconds(20 + chance.scaled(0...3_000))
      if chance.one(in: 3) { stopsAgainAfter = .microseconds(chance.scaled(0...4_000_000)) }
    }
    addEnvironment(&chance)
  }

  /// Descriptors or memory, for a while.
  var lacksSomething: Bool {
    shortages > 0 || lowersLimit > 0 || descriptors < 100 || failsToWatch > 0
  }

  /// Simulated time after which a schedule must be over.
  var mostTime: Time { max(.seconds(400), settledAt + .seconds(200)) }

  /// When everything that was begun must have come to its end.
  var settledAt: Time {
    // At a limit they wait for each other; each may wait for a target, or have one that vanishes.
    let waits = maxConnections < 1_000 || lacksSomething
    let turns = Time(waits ? visits.count + 1 : 1)
    return lastEnd + (peerTimeout * 3 / 2 + connectTimeout) * turns + (idleTimeout ?? 0)
      + .seconds(25)
  }

  private mutating func addForwards(_ chance: inout Chance) {
    for index in 0..<(asksMuch ? 3 : chance.pick([1, 1, 1, 2, 3])) {
      let host =
        isFailover
        ? Self.names[0]
        : asksMuch
          ? Self.names[index]
          : chance.pick([
            "10.0.0.1", "10.0.0.1", "127.0.0.1", "localhost", Self.names[0], Self.names[0],
            Self.names[1], "listed.example", "2001:db8::7",
          ])
      forwards.append(
        Forward(
          listenPort: Self.firstListenPort + UInt16(index),
          targetPort: Self.firstTargetPort + UInt16(index), host: host))
    }
  }

  private mutating func addVisits(_ chance: inout Chance) {
    let count = chance.scaled(1...9)
    let spread = chance.pick([1, 10, 100, 1_000, 6_000])
    var style = chance.one(in: 4) ? Script.client(&chance) : nil
    if isFailover { style = [.send(Script.small(&chance)), .pause(.seconds(9)), .end, .awaitEnd] }
    for _ in 0..<count {
      let at = Schedule.start + .milliseconds(20) + .microseconds(chance.number(0...spread * 1_000))
      let life = Time.milliseconds(isFailover ? 11_000 : chance.scaled(20...12_000))
      visits.append(
        Visit(
          at: at, forward: chance.number(0...forwards.count - 1),
          script: style ?? Script.client(&chance), life: life))
      lastEnd = max(lastEnd, at + life)
    }
  }

  private mutating func addEnvironment(_ chance: inout Chance) {
    func milliseconds(_ time: Time) -> String { "\(time / 1_000_000)ms" }
    let list = forwards.map { forward in
      let host = forward.host.contains(":") ? "[\(forward.host)]" : forward.host
      return "\(forward.listenPort)=\(host):\(forward.targetPort)"
    }
    environment["FORWARDS"] = list.joined(separator: ",")
    environment["WORKERS"] = String(workers)
    environment["CONNECT_TIMEOUT"] = milliseconds(connectTimeout)
    if let idleTimeout { environment["IDLE_TIMEOUT"] = milliseconds(idleTimeout) }
    environment["PEER_TIMEOUT"] = milliseconds(peerTimeout)
    environment["DRAIN_DELAY"] = milliseconds(drainDelay)
    environment["DRAIN_TIMEOUT"] = milliseconds(drainTimeout)
    environment["PROBES"] = absorbsProbes ? "absorb" : "forward"
    environment["ON_TARGET_CHANGE"] = onTargetChange
    if maxConnections < 1_000 { environment["MAX_CONNECTIONS"] = String(maxConnections) }
    if let metricsPort { environment["METRICS_PORT"] = String(metricsPort) }
    environment["LOG_LEVEL"] = chance.pick(["error", "warn", "info", "debug", "debug"])
    environment["LOG_FORMAT"] = chance.pick(["text", "json"])
    environment["SIDECAR_TRANSFER"] = chance.pick(["auto", "auto", "copy", "splice"])
    environment["SANDBOX"] = chance.pick(["on", "off"])
    if chance.one(in: 3) { environment["STALE_LIMIT"] = chance.pick(["0", "1s", "1m"]) }
  }
}
