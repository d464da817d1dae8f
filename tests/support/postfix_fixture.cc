#include "tests/support/postfix_fixture.h"

namespace postern {

void PostfixFixture::Set(const std::string& name, const std::string& value) {
  settings.effective[name] = settings.explicit_values[name] = value;
}

void PostfixFixture::Unset(const std::string& name) {
  settings.effective.erase(name);
  settings.explicit_values.erase(name);
}

void PostfixFixture::AddService(const std::string& line,
                                const std::string& override) {
  const std::string name =
      ParsePostfixSettings("", "", line).services.at(0).name;
  const auto parsed = ParsePostfixSettings("", "", line, name + "/" + override);
  settings.services.push_back(parsed.services.at(0));
}

void PostfixFixture::Chroot(const std::string& value) {
  for (PostfixService& service : settings.services)
    if (service.name == "smtp/unix") service.chroot = value;
}

void PostfixFixture::Make(const Change& change) {
  if (change.file == Change::File::kMasterCf) {
    std::erase_if(settings.services, [&](const PostfixService& service) {
      return service.name == change.name;
    });
    if (change.after) AddService(*change.after);
  } else if (change.after) {
    Set(change.name, *change.after);
  } else {
    Unset(change.name);
  }
}

PostfixFixture Fresh(const std::string& version) {
  PostfixFixture postfix{ParsePostfixSettings(
      "mail_version = " + version +
          "\nqueue_directory = /var/spool/postfix\n"
          "config_directory = /etc/postfix\nmail_owner = postfix\n"
          "compatibility_level = 3.6\nsmtp_tls_loglevel = 0\n",
      "compatibility_level = 3.6\n",
      "smtp       inet  n       -       y       -       -       smtpd\n"
      "smtp       unix  -       -       y       -       -       smtp\n")};
  postfix.settings.system_ca_file = "/etc/ssl/certs/ca-certificates.crt";
  return postfix;
}

PostfixFixture Ready(const std::string& version) {
  PostfixFixture postfix = Fresh(version);
  postfix.Set("smtp_tls_security_level", "may");
  postfix.Set("smtp_dns_support_level", "dnssec");
  postfix.Set("smtp_tls_dane_insecure_mx_policy", "dane");
  postfix.Set("smtp_tls_CAfile", "/etc/ssl/certs/ca-certificates.crt");
  postfix.Set("smtp_tls_loglevel", "1");
  const bool tells = postfix.settings.version >= kTellsOfSessions;
  postfix.Set("smtp_tls_policy_maps",
              std::string("socketmap:unix:postern/policy.sock:policy") +
                  (tells ? "-tlsrpt" : ""));
  return postfix;
}

Options Listening(const std::string& on) {
  Options options;
  options.policy.listen = {*ListenAddress::Parse(on)};
  return options;
}

Options Receiving(const std::string& path) {
  Options options = Listening(kInQueue);
  options.tlsrpt.listen = {*ListenAddress::Parse("unix:" + path)};
  return options;
}

Options ReadingLog() {
  Options options = Listening(kInQueue);
  options.tlsrpt.maillog = kSystemdJournal;
  return options;
}

}  // namespace postern
