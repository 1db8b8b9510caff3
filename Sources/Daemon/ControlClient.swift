// `sidecar health` and `sidecar status`: ask the process that runs here over its control socket,
// and say what it answers, or why nobody does.
import Core
import Linux

private enum Answer {
  case bytes([UInt8])
  /// A line for people, with its line break.
  case none([UInt8])
}

/// Nobody answers for longer, unless stopped or swapped out.
private let answerTime = Nanoseconds.seconds(2)

private func ask(_ request: ControlRequest, port: UInt16) -> Answer {
  let name = ControlRequest.socketName(port: port)
  do throws(Errno) {
    let socket = try Socket.connected(toLocalName: name)
    let user = try socket.peerUser()
    guard user == effectiveUser() || effectiveUser() == 0 || user == 0 else {
      return none("another user's process answers for port ", port, " (user ", UInt64(user), ")\n")
    }
    let line = [UInt8](request.line)
    var sent = Transfer.wouldBlock
    line.withUnsafeBytes { sent = socket.send($0.baseAddress!, count: $0.count) }
    if case .failed(let error) = sent { throw error }
    return .bytes(try receiveAll(socket, port))
  } catch {
    switch error {
    case .refused:
      return none("no sidecar runs here that listens on port ", port, " (LISTEN_PORT, FORWARDS)\n")
    // EAGAIN: as many wait to be answered as may.
    case .timedOut, .wouldBlock:
      return none("the sidecar on port ", port, " does not answer: it is stopped or overloaded\n")
    case .brokenPipe, .connectionReset:
      return none(
        "the sidecar on port ", port,
        " hangs up: it is another user's, which answers its own alone, or it is ending\n")
    case _:
      return none("cannot ask the sidecar on port ", port, ": errno ", UInt64(error.code), "\n")
    }
  }
}

/// - Throws: ETIMEDOUT; ECONNRESET when it hangs up without a word.
private func receiveAll(
  _ socket: borrowing Socket, _ port: UInt16
) throws(Errno) -> [UInt8] {
  let end = Instant.now + answerTime
  var answer: [UInt8] = []
  var piece = [UInt8](repeating: 0, count: 4_096)
  while true {
    let rest = (end - .now).wholeMilliseconds
    guard rest > 0, socket.waitUntilReadable(milliseconds: Int32(rest)) else { throw .timedOut }
    var result = Transfer.wouldBlock
    piece.withUnsafeMutableBytes {
      result = socket.receive(into: $0.baseAddress!, limit: $0.count)
    }
    switch result {
    case .moved(let count): answer += piece[..<count]
    case .wouldBlock: continue
    case .ended:
      guard !answer.isEmpty else { throw .connectionReset }
      return answer
    case .failed(let error): throw error
    }
  }
}

@inline(never) private func none(
  _ before: StaticString, _ port: UInt16, _ after: StaticString, _ number: UInt64? = nil,
  _ end: StaticString = ""
) -> Answer {
  var text = [UInt8](before)
  text.append(decimal: UInt64(port))
  text.append(after)
  if let number { text.append(decimal: number) }
  text.append(end)
  return .none(text)
}

/// The settings that the running process has too; nil, and said, when they are wrong: then no
/// process runs by them.
@inline(never) private func configured() -> Settings? {
  do throws(SettingsFaults) {
    return try Settings.parse(environment)
  } catch {
    var line = [UInt8]("the configuration is wrong: ")
    line += error.faults[0].line
    line.append("\n")
    write(line, to: 1)
    return nil
  }
}

// MARK: health

/// Silent and 0, or a line on standard output and 1.
func health(target: Bool) -> Int32 {
  guard let settings = configured() else { return ExitCode.unhealthy }
  switch ask(target ? .target : .health, port: settings.controlPort) {
  case .none(let why):
    write(why, to: 1)
    return ExitCode.unhealthy
  case .bytes(let answer):
    if answer.equals(ControlRequest.ok) { return ExitCode.ok }
    // Nobody has tried for a minute: one attempt says more.
    if answer.equals(ControlRequest.unknown) { return probeQuietly(settings) }
    write(answer, to: 1)
    return ExitCode.unhealthy
  }
}

// MARK: status

func status(json: Bool, watch: Bool) -> Int32 {
  guard let settings = configured() else { return ExitCode.unhealthy }
  guard watch else {
    switch ask(json ? .statusJSON : .status, port: settings.controlPort) {
    case .none(let why):
      write(why, to: 1)
      return ExitCode.unhealthy
    case .bytes(let answer):
      write(answer, to: 1)
      return ExitCode.ok
    }
  }
  return watchStatus(settings)
}

/// Draws it again each second until a signal comes.
private func watchStatus(_ settings: Settings) -> Int32 {
  do throws(Errno) {
    let signals = try SignalQueue()
    let poller = try Poller()
    try Linux.watch(signals.descriptor.number, with: poller.number, for: .reading, token: 0)
    write(TerminalScreen.enter, to: 1)
    while true {
      var text: [UInt8]
      switch ask(.status, port: settings.controlPort) {
      case .none(let why): text = why
      case .bytes(let answer): text = answer
      }
      let size = terminalSize(of: 1) ?? (columns: 80, rows: 24)
      let frame = TerminalScreen.frame(text, columns: size.columns, rows: size.rows)
      // A terminal that is gone ends it; SIGHUP does not.
      var failure: Errno?
      frame.withUnsafeBytes { bytes in
        do throws(Errno) { try writeAll(bytes, to: 1) } catch { failure = error }
      }
      if failure != nil { return ExitCode.unhealthy }
      if poller.wait(milliseconds: 1_000) > 0, signals.next() != nil { break }
    }
    write(TerminalScreen.leave, to: 1)
    return ExitCode.ok
  } catch {
    return ExitCode.systemError
  }
}
