// `sidecar probe`: the way to a target leg by leg, in a process of its own, each leg with its time.
// Works beside a running sidecar, in sleep mode, or where none runs.
import Core
import Linux

/// The first leg that is broken, as an exit code.
private enum Leg: Int32 {
  case name = 2
  case connect = 3
  case greet = 4
}

/// Silent but for a line when the configured targets cannot be reached.
func probeQuietly(_ settings: Settings) -> Int32 {
  for forward in settings.forwards {
    var probe = Probe(settings)
    guard probe.run(forward.target, greet: false) == nil else {
      let cause = probe.report.failure ?? .nameServersFailed
      write(TargetHealth.failed(forward.target, cause, ago: nil), to: 1)
      return ExitCode.unhealthy
    }
  }
  return ExitCode.ok
}

func probe(_ words: [[UInt8]], greet: Bool) -> Int32 {
  let settings: Settings
  do throws(SettingsFaults) {
    settings = try Settings.parse { name in
      // Whoever names targets needs none in the environment: nothing is missing in sleep mode.
      words.isEmpty || ![UInt8](name).equals("MODE") ? environment(name) : [UInt8]("sleep")
    }
  } catch {
    write(report(error), to: 1)
    return ExitCode.configuration
  }
  // Of a forward, only its target counts here.
  var forwards = settings.forwards
  if !words.isEmpty {
    forwards = []
    for word in words {
      guard let target = Target(hostAndPort: word[...]) else {
        var message = [UInt8]("sidecar probe: expected HOST:PORT, not ")
        message.append(quoted: word[...])
        message.append("\n")
        write(message, to: 2)
        return ExitCode.usage
      }
      forwards.append(Forward(listenPort: 0, target: target))
    }
  }
  describePlace(settings)
  if forwards.isEmpty {
    write([UInt8]("no target is configured: sidecar probe HOST:PORT\n"), to: 1)
    return ExitCode.usage
  }
  var broken: Leg?
  for forward in forwards {
    var probe = Probe(settings)
    let leg = probe.run(forward.target, greet: greet)
    write(probe.report.text, to: 1)
    if let leg, leg.rawValue < broken?.rawValue ?? .max { broken = leg }
  }
  return broken?.rawValue ?? ExitCode.ok
}

private func describePlace(_ settings: Settings) {
  var report = ProbeReport()
  var files = NameFiles(settings)
  _ = files.refresh(.now)
  report.resolvConf(files.servers.conf, path: settings.resolvConf)
  var descriptors = 0
  do throws(Errno) { descriptors = try raiseDescriptorLimit() } catch {}
  report.limits(
    descriptors: descriptors, pipeQuotaPages: pipeQuotaPages(), cpus: usableCPUCount())
  // What ECS waits when a task definition says nothing.
  let given = environment("STOP_TIMEOUT") ?? []
  let stopTimeout = parseDuration(given[...])
  if !given.isEmpty && stopTimeout == nil {
    report.warn("STOP_TIMEOUT is not a time such as 30s or 2m: 30s is taken")
  }
  report.warnings(
    settings, descriptors: descriptors, stopTimeout: stopTimeout ?? .seconds(30))
  write(report.text, to: 1)
}

private struct Probe {
  var report = ProbeReport()
  private let settings: Settings

  /// What a server may take to say its first word.
  private static let greetTime = Nanoseconds.seconds(1)

  init(_ settings: Settings) { self.settings = settings }

  /// The leg that is broken; nil when all hold.
  @inline(never) mutating func run(_ target: Target, greet: Bool) -> Leg? {
    report.begin(target)
    let addresses = resolve(target)
    guard !addresses.isEmpty else { return .name }
    var reached: Endpoint?
    for address in addresses {
      let endpoint = Endpoint(address: address, port: target.port)
      if connect(endpoint) { reached = reached ?? endpoint }
    }
    guard let reached else { return .connect }
    guard greet else { return nil }
    for question in GreetingQuestion.allCases {
      switch ask(question, reached) {
      case .speaker(let speaker):
        report.spoke(speaker)
        return nil
      case .nothing: continue
      case .hungUp:
        // Many servers hang up on a question that they do not understand, but none before one.
        guard question == .nothing else { continue }
        report.hungUp()
        return .greet
      }
    }
    report.spoke(nil)
    return .greet
  }

  // MARK: The name

  private mutating func resolve(_ target: Target) -> [IPAddress] {
    guard case .name(let name) = target.kind else {
      if case .address(let address) = target.kind { return [address] }
      return []
    }
    var files = NameFiles(settings)
    _ = files.refresh(.now)
    let listed = files.hosts.addresses(of: name)
    guard listed.isEmpty else {
      report.listed(listed)
      return listed
    }
    do throws(Errno) {
      let lookup = try NameProbe(files)
      return lookup.run(
        name, isAbsolute: target.host.last == UInt8(ascii: "."), limit: settings.connectTimeout,
        &report)
    } catch {
      report.nameFailed(Failure(error), words: [])
      return []
    }
  }

  // MARK: The connection

  private mutating func connect(_ endpoint: Endpoint) -> Bool {
    let begin = Instant.now
    do throws(Errno) {
      _ = try open(endpoint, settings.connectTimeout)
      report.connected(endpoint, after: .now - begin)
      return true
    } catch {
      report.connectFailed(endpoint, Failure(error), after: .now - begin)
      return false
    }
  }

  /// - Throws: what kept it from being made; ETIMEDOUT.
  private func open(_ endpoint: Endpoint, _ limit: Nanoseconds) throws(Errno) -> Socket {
    let address = SocketAddress(endpoint)
    let socket = try Socket.stream(for: address)
    let poller = try Poller()
    let end = Instant.now + limit
    switch socket.connect(to: address) {
    case .failed(let error): throw error
    case .connected: return socket
    case .inProgress: break
    }
    try watch(socket.number, with: poller.number, for: .changes, token: 0)
    while true {
      let rest = (end - .now).wholeMilliseconds
      guard rest > 0 else { throw .timedOut }
      _ = poller.wait(milliseconds: Int32(clamping: rest))
      switch socket.connect(to: address) {
      case .failed(let error): throw error
      case .connected: return socket
      case .inProgress: continue
      }
    }
  }

  // MARK: The greeting

  private enum Answer {
    case speaker([UInt8])
    /// Silence, or nothing that says who it is.
    case nothing
    case hungUp
  }

  private func ask(_ question: GreetingQuestion, _ endpoint: Endpoint) -> Answer {
    do throws(Errno) {
      let socket = try open(endpoint, settings.connectTimeout)
      let bytes = question.bytes
      if !bytes.isEmpty {
        bytes.withUnsafeBytes { _ = socket.send($0.baseAddress!, count: $0.count) }
      }
      guard socket.waitUntilReadable(milliseconds: Int32(Self.greetTime.wholeMilliseconds)) else {
        return .nothing
      }
      var answer = [UInt8](repeating: 0, count: 512)
      var result = Transfer.wouldBlock
      answer.withUnsafeMutableBytes {
        result = socket.receive(into: $0.baseAddress!, limit: $0.count)
      }
      switch result {
      case .moved(let count):
        return question.speaker(Array(answer[..<count])).map { .speaker($0) } ?? .nothing
      case .wouldBlock: return .nothing
      case .ended, .failed: return .hungUp
      }
    } catch {
      return .hungUp
    }
  }
}
