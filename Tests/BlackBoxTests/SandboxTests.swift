// What the running daemon may still do, asked from inside: a debugger makes its main thread do
// system calls (Tests/Sandbox/inject.py). What it may do on the other architecture:
// SystemCallFilterTests.
import Foundation
import Testing

#if arch(x86_64)
  private let canInject = getuid() == 0
#else
  private let canInject = false
#endif

/// Calls by number, as asm/unistd_64.h has them, and what can be permitted of them.
private enum Call {
  static let open = 2
  static let mprotect = 10
  static let socket = 41
  static let connect = 42
  static let bind = 49
  static let fork = 57
  static let execve = 59
  static let kill = 62
  static let ptrace = 101
  static let openat = 257
  /// Of the filter, those of them included that look at arguments.
  static let permitted: Set = [
    0, 1, 2, 3, 4, 7, 9, 10, 11, 12, 14, 15, 16, 25, 28, 41, 42, 44, 45, 48, 51, 54, 55, 60,
    61, 72, 107, 157, 202, 217, 219, 228, 231, 232, 233, 257, 262, 271, 275, 281, 288, 290, 291,
    293,
    302, 318, 436,
  ]
}

private func text(_ string: String) -> String { hexadecimal(Array(string.utf8) + [0]) }

/// struct sockaddr_in of 127.0.0.1.
private func address(port: UInt16) -> String {
  hexadecimal(
    [2, 0, UInt8(port >> 8), UInt8(port & 0xff), 127, 0, 0, 1] + Array(repeating: 0, count: 8))
}

private func hexadecimal(_ bytes: [UInt8]) -> String {
  "hex:" + bytes.map { String(format: "%02x", $0) }.joined()
}

extension Sidecar {
  /// What each call gave inside the daemon: a result, or the negative error number.
  fileprivate func inject(_ calls: [String]) throws -> [Int] {
    let file = "/tmp/sidecar-calls-\(getpid())-\(UUID().uuidString)"
    try calls.joined(separator: "\n").write(toFile: file, atomically: true, encoding: .utf8)
    defer { unlink(file) }
    var script = URL(fileURLWithPath: #filePath)
    for _ in 0..<2 { script.deleteLastPathComponent() }
    let printed = try run(
      "python3", script.path + "/Sandbox/inject.py", String(process.id), file)
    return printed.split(separator: "\n").compactMap { Int($0) }
  }
}

@Suite(.serialized)
struct SandboxTests {
  @Test(arguments: ["proxy", "sleep"])
  func noThreadKeepsAPrivilege(mode: String) throws {
    let target = try Target()
    try withSidecar(to: target, ["MODE": mode, "WORKERS": "2"]) { sidecar in
      let tasks = "/proc/\(sidecar.process.id)/task"
      let threads = try FileManager.default.contentsOfDirectory(atPath: tasks)
      #expect(threads.count == (mode == "proxy" ? 4 : 2))
      for thread in threads {
        let status = try String(contentsOfFile: "\(tasks)/\(thread)/status", encoding: .utf8)
        for line in [
          "CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
          "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2",
        ] {
          #expect(status.contains(line), "\(line) in \(status)")
        }
        if getuid() == 0 { #expect(status.contains("CapBnd:\t0000000000000000")) }
      }
      #expect(try sidecar.status().text("sandbox") == "on")
      #expect(try sidecar.ask("status").lines[0].hasSuffix("  sandbox on"))
      #expect(try sidecar.waitForLine("sandbox on")["system_calls"] == "47")
    }
  }

  @Test(.enabled(if: canInject, "ptrace(2) needs root, and numbers of x86_64"))
  func everyCallThatIsNotListedIsRefusedFromInside() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      // The kernel keeps uretprobe and uprobe for its own trampolines, and from no filter's reach.
      let numbers = (0..<600).filter { !Call.permitted.union([335, 336]).contains($0) }
      let results = try sidecar.inject(numbers.map { "\($0) 0 0 0 0 0 0" })
      #expect(results.count == numbers.count)
      for (number, result) in zip(numbers, results) {
        #expect(result == -Int(EPERM), "call \(number)")
      }
      _ = try sidecar.connectAndTalk(to: target)
    }
  }

  @Test(.enabled(if: canInject, "ptrace(2) needs root, and numbers of x86_64"))
  func whatWouldHelpAnIntruderIsRefusedFromInside() throws {
    let target = try Target()
    let other = try Target()
    let file = "/tmp/sidecar-intruder-\(getpid())"
    try withSidecar(to: target) { sidecar in
      // A socket first: its number is the next call's argument.
      let socket = try sidecar.inject(["\(Call.socket) 2 1 0"])[0]
      #expect(socket > 2)
      let results = try sidecar.inject([
        "\(Call.execve) \(text("/bin/sh")) 0 0",
        "\(Call.fork)",
        "\(Call.ptrace) 16 1 0 0",
        "\(Call.kill) 1 0",
        "\(Call.open) \(text(file)) \(O_WRONLY | O_CREAT) 438",
        "\(Call.openat) -100 \(text(file)) \(O_RDWR | O_CREAT) 438",
        "\(Call.mprotect) 4096 4096 \(PROT_READ | PROT_EXEC)",
        "\(Call.socket) \(AF_UNIX) 1 0",
        "\(Call.socket) \(AF_NETLINK) 3 0",
        "\(Call.bind) \(socket) \(address(port: 0)) 16",
      ])
      #expect(results == Array(repeating: -Int(EPERM), count: 10))
      #expect(access(file, F_OK) != 0)
      let connected = try sidecar.inject([
        "\(Call.connect) \(socket) \(address(port: other.port)) 16",
        "\(Call.connect) \(socket) \(address(port: target.port)) 16",
        "3 \(socket)",
      ])
      #expect(connected.last == 0)
      if try sidecar.status()["landlock"] ?? 0 >= 4 {
        #expect(connected[0] == -Int(EACCES), "a port that is nobody's target")
        #expect(connected[1] == 0)
      }
    }
  }

  /// The control of the two tests above: without the sandbox they would find that it is missing.
  @Test(.enabled(if: canInject, "ptrace(2) needs root, and numbers of x86_64"))
  func withoutTheSandboxNothingIsRefused() throws {
    let target = try Target()
    try withSidecar(to: target, ["SANDBOX": "off"]) { sidecar in
      let nowhere = text("/nonexistent")
      let results = try sidecar.inject([
        "\(Call.execve) \(nowhere) 0 0", "\(Call.kill) \(sidecar.process.id) 0",
        "\(Call.openat) -100 \(nowhere) \(O_WRONLY) 0", "\(Call.mprotect) 4096 4096 5",
      ])
      #expect(results == [-Int(ENOENT), 0, -Int(ENOENT), -Int(ENOMEM)])
      #expect(try sidecar.waitForLine("sandbox off").level == "info")
      #expect(try sidecar.status().text("sandbox") == "off")
    }
  }

  @Test func aSystemThatRefusesTheFilterIsToldAndForwardsAllTheSame() throws {
    let target = try Target()
    let wrapper = [
      "strace", "-D", "-f", "-q", "-o", "/dev/null", "-e", "inject=seccomp:error=EINVAL",
    ]
    try withSidecar(to: target, wrapper: wrapper) { sidecar in
      let line = try sidecar.waitForLine("sandbox incomplete")
      #expect(line.level == "warn" && line["part"] == "system_calls" && line["errno"] == "22")
      #expect(try sidecar.status().text("sandbox") == "incomplete")
      _ = try sidecar.connectAndTalk(to: target)
    }
  }
}
